"""The page: sections in a language, written as HTML, CSV or Markdown."""
