"""The gates of a training pipeline: data in, a verdict out; scores in, a verdict out. They read no store.

verdict      what a check says, and what a gate says
policy       the declared checks as a digest
data         the data gate: `judge_data`
baseline     what accepted data looked like, kept as JSON
counting     frozen bins, counted in DuckDB
distances    how far two distributions lie apart, and how far chance puts them
model        the model gate: `judge_model`
scored       test rows with the scores of a model and of the champion
bootstrap    what their difference could have been on other rows
behaviour    what the stored model did in a real server: `judge_behaviour`

Nothing is imported here: pandera takes a second to load.
"""
