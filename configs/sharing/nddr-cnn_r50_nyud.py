_base_ = './cross-stitch_r50_nyud.py'
model = dict(backbone=dict(exchange=dict(type='NDDR')))
