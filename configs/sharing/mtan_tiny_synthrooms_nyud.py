_base_ = './deeplab_tiny_synthrooms_nyud.py'
model = dict(backbone=dict(_delete_=True, type='MTAN', encoder='$encoder'))
