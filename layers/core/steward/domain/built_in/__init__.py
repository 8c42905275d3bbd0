"""The model of a project without code of its own: boosted trees, and a linear model beside them.

The folder is packed as the source of such a project, so its modules import one another by
relative names and need nothing but numpy (to answer) and scikit-learn (to train).
"""
