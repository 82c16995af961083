"""Answers: every claim of the article ruled on by code, and the questions that people come with."""
