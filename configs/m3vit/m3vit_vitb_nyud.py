_base_ = './m3vit_vits_nyud.py'
model = dict(backbone=dict(arch='base'), decode_head=dict(in_channels=768))
