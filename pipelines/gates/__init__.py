"""The gates of a training pipeline: data in, a verdict out; scores in, a verdict out. They read no store.

verdict      what a check says, and what a gate says
policy       the declared checks as a digest
data         the data gate: `judge_data`
baseline     what accepted data looked like, kept as JSON
counting     frozen bins, counted in DuckDB
distances    how far two distributions lie apart, and how far chance puts them

Nothing is imported here: pandera takes a second to load.
"""
