# SynthRooms in the layout of PASCALContext: rendered rooms, 120x160, some upright.
# Made by tools/dataset_converters/synth_rooms.py.
_base_ = './pascal_context.py'
data_root = 'data/synth_rooms/PASCALContext'
crop_size = (160, 160)
scale_range = (0.75, 1.5)

train_dataloader = dict(num_workers=2)
val_dataloader = dict(num_workers=2)
test_dataloader = val_dataloader
