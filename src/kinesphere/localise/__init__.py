"""What happens when in long recordings: detectors on the features of a video, trained and asked.

Networks are in `models.temporal`, features in `predict.features`, scores in `evaluate.metrics`.
"""
