"""Exercises of a lecture that exists for the tests of the grader alone."""
