"""The one evaluator of request-time features, for training and for serving."""

from featurestore.on_demand.evaluation import evaluate as evaluate
from featurestore.on_demand.evaluation import without_unread as without_unread
from featurestore.on_demand.expressions import expression_text as expression_text
from featurestore.on_demand.expressions import output_types as output_types
from featurestore.on_demand.functions import function_digest as function_digest
from featurestore.on_demand.functions import function_reference as function_reference
from featurestore.on_demand.row_wise import check_row_wise as check_row_wise
