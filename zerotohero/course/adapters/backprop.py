"""How lecture 05's answers are called; this is all that enters the sandbox."""
