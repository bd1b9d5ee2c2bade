"""The steps of a run, each a plain function of what it needs: `pipelines.runner` strings them together.

extract    labels known by an instant, and the features as they were known: a saved dataset
validate   the data gate
split      which rows train, validate and test
train      a fitted model and its file
evaluate   metrics of it, and of the champion on the same rows
compare    the model gate
register   a version of the model
verify     the stored file gives the predictions of training time
promote    the champion is another one
"""
