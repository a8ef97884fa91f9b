"""Lecture 08's exercises."""
