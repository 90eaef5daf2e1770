_base_ = './cross-stitch_r18_pascal.py'
model = dict(backbone=dict(exchange=dict(type='NDDR')))
