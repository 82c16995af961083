"""Jobs become records: in a worker each, side by side or one after another, whatever becomes of them."""
