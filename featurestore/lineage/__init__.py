"""What comes from what, column by column: sources, views, services, datasets, models, and back."""

from featurestore.lineage.building import Known as Known
from featurestore.lineage.building import build_lineage as build_lineage
from featurestore.lineage.columns import SourceColumns as SourceColumns
from featurestore.lineage.graph import Edge as Edge
from featurestore.lineage.graph import Lineage as Lineage
from featurestore.lineage.graph import Node as Node
