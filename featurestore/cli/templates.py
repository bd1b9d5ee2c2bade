"""The texts of a new project."""

CONFIGURATION = """\
# What this project is called; it prefixes everything the online store keeps.
project = "{project}"

# The folder whose Python files declare features.
definitions = "feature_defs"

[offline]
engine = "duckdb"
# Where history is kept: Delta tables, saved datasets, and what contracts refused.
path = "data/offline"
# memory_limit = "4GB"    # beyond it DuckDB spills to disk; by default 80% of the machine's memory
# threads = 4             # by default all cores

[online]
# Where the current values are served from: lmdb:// (a folder, shared by the processes of one machine),
# redis:// and its kin (a fleet), or memory:// (tests).
url = "lmdb://data/online"

[registry]
# What is applied, since when and by whom.
url = "sqlite:///data/registry.db"

# Every key can be overridden by the environment: FEATURESTORE_ONLINE__URL=memory://
"""

DEFINITIONS = '''\
"""What this shop knows of its customers."""

from datetime import timedelta

import pandera.polars as pa

from featurestore import Entity, Feature, FeatureService, FeatureView, Float64, Int64, ParquetSource, String

# What features are about, and the key that names one.
customer = Entity("customer", join_keys={"customer": String}, description="Someone who buys.")

# Where raw rows come from, and the column that says when each happened.
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="bought_at")


class Purchases(pa.DataFrameModel):
    """What must be true of the data: rows that break it are refused before anything is published."""

    amount: float = pa.Field(gt=0)
    items: int = pa.Field(ge=1, le=100)


# Features: columns of the latest row, or SQL expressions over it. After 14 days the values count as outdated.
last_purchase = FeatureView(
    "last_purchase",
    entities=[customer],
    source=purchases,
    ttl=timedelta(days=14),
    features=[
        Feature("amount", Float64),
        Feature("items", Int64),
        Feature("amount_per_item", Float64, expr="amount / items"),
    ],
    contract=Purchases,
    owner="shop",
    description="The customer's latest purchase.",
)

# What one model consumes, in training and in serving.
buyer_v1 = FeatureService("buyer_v1", features=[last_purchase], description="Will the customer buy again?")
'''

GITIGNORE = """\
data/audit/
data/offline/
data/online/
data/pipelines/
data/predictions/
data/registry.db
data/serving/
__pycache__/
"""

NEXT_STEPS = """\
Next:
  cd {folder}
  featurestore apply                 # check the definitions and make them live
  featurestore materialize           # fill the offline and the online store up to now
  featurestore historical buyer_v1 --spine data/labels.parquet
  featurestore online buyer_v1 --entity customer=c01
"""
