"""Lecture 10's exercises."""
