"""Lecture 04's exercises: cards, cases and verdicts."""

from zerotohero.course.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
