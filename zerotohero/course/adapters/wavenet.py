"""How lecture 06's answers are called; this is all that enters the sandbox."""
