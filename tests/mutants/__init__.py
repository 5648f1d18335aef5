"""Break the code in one location at a time and see whether its tests notice: `python -m tests.mutants FOLDER...`.

A copy of the tree is changed, never the checkout. A mutant is killed if a test fails or runs into its time limit. One
that survives is an equivalent change, unneeded code or a missing test; the printed FILE:LINE, as an argument, runs the
mutants of that line alone.

Neither of the usual tools fits: mutmut 3 addresses a module by its path, and so finds no test of one below `training/`,
and leaves out functions with decorators; cosmic-ray has one test command for all modules, starts a new process for
each mutant (most of the time of a run is the import of torch), and has no sample and no time limit.
"""
