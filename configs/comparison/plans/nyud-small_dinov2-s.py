# Decoders on a frozen DINOv2 ViT-S/14, real photos (the small copy of NYUD-v2). Three variables say where things are:
# NYUD_SMALL_ROOT the folder of the data, DINOV2_SMALL the file of the weights, FEATURES the store that
# tools/misc/cache_features.py fills from any of these configs.
name = 'NYUD-v2 in small, frozen DINOv2 ViT-S/14'
systems = {
    'hard sharing': 'configs/comparison/hard-sharing_dinov2-s_nyud-small.py',
    'MLoRE': 'configs/comparison/mlore_dinov2-s_nyud-small.py',
    'FGMoE-style': 'configs/comparison/fgmoe-style_dinov2-s_nyud-small.py',
    'InvPT': 'configs/comparison/invpt_dinov2-s_nyud-small.py',
    'PAD-Net': 'configs/comparison/pad-net_dinov2-s_nyud-small.py',
    'DenseMTL': 'configs/comparison/densemtl_dinov2-s_nyud-small.py',
    'linear probe': 'configs/comparison/linear-probe_dinov2-s_nyud-small.py',
}
single_task = 'configs/comparison/hard-sharing_dinov2-s_nyud-small.py'
encoders = {
    'DINOv2-S/14, frozen': dict(
        cfg_options={'model.backbone.checkpoint_path': '{{$DINOV2_SMALL:checkpoints/dinov2_small.pth}}'}
    )
}
data = dict(name='NYUD-v2 in small', cfg_options={'feature_cache.path': '{{$FEATURES:work_dirs/features_dinov2-s}}'})
budget = dict(iterations=300)
seeds = [0, 1, 2]
cfg_options = {'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0}  # features are read in no time
