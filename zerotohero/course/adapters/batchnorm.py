"""How lecture 04's answers are called; this is all that enters the sandbox."""
