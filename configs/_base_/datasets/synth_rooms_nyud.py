# SynthRooms in the layout of NYUDv2: rendered rooms, 120x160. Made by tools/dataset_converters/synth_rooms.py.
_base_ = './nyud_v2.py'
data_root = 'data/synth_rooms/NYUDv2'
crop_size = (128, 160)
scale_range = (0.75, 1.5)

train_dataloader = dict(num_workers=2)
val_dataloader = dict(num_workers=2)
test_dataloader = val_dataloader
