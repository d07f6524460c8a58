"""Labelled images from disk, for `sod eval` and `make finetune`: five layouts, one set of findings, one policy.

- What is repaired is a warning or a note: a polygon becomes its enclosing box, a box is cut at the image's edge.
- What is left out is a warning: a box without area, an object that is labelled twice, files of other programs.
- What stops is an error: it would change the figures or the training, and only the user can say what is right.

Needs PyYAML, which the extras `bench` and `export` install.
"""
