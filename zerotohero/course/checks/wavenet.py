"""Lecture 06's exercises: cards, cases and verdicts."""

from zerotohero.course.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
