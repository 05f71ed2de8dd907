"""From judgements to a teacher to a student to a bundle. The only room that imports torch; its steps: `steps.py`."""
