_base_ = './cross-stitch_tiny_synthrooms_nyud.py'
model = dict(backbone=dict(exchange=dict(type='NDDR')))
