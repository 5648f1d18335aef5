"""How many labeled objects a table of boxes contains, next to a blind grid, and which settings contain most."""
