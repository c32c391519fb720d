"""Public data sets, one module each: card, reader, and a maker of a small example.

`importing.import_skeletons` turns those of skeletons into pose files and a manifest.
"""

from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.datasets.importing import import_skeletons

__all__ = ["DATASETS", "Dataset", "DatasetCard", "import_skeletons"]
