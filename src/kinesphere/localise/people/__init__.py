"""Who does what, where and when: detectors of the actions of people in boxes, trained on keyframes and asked.

Networks are in `models.spatiotemporal`, keyframes in `annotations.keyframes`, scores in
`evaluate.files.boxes`.
"""
