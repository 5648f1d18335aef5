"""Plans that fit: what a machine can do with a set of images in a given time, and the command to do it."""
