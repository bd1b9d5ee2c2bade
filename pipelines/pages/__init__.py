"""What people look at: plots as SVG, and one HTML page per run that needs nothing else.

charts  axes, lines, bars and points
plots   the plots of a model and of drift
page    the page of a run
style   how it all looks, by day and by night
"""
