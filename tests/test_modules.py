"""Every module of mlore_mm has a test file of its name, or one that it shares with what it works with."""

import pytest

from tests.shared import REPO

SOURCE, TESTS = REPO / 'mlore_mm', REPO / 'tests'
MODULES = sorted(
    str(path.relative_to(SOURCE).with_suffix(''))
    for path in SOURCE.rglob('*.py')
    if path.name != '__init__.py' and '.mim' not in path.parts
)
# Modules and folders (with a slash at the end) that are tested together with others, through what users call.
SHARED = {
    # command lines
    '__main__': 'test_main.py',
    'apis/analysis/benchmark': 'test_tools/test_get_flops.py',
    'apis/analysis/eval_boundary': 'test_tools/test_eval_boundary.py',
    'apis/analysis/flops': 'test_tools/test_get_flops.py',
    'apis/analysis/model_parts': 'test_tools/test_get_flops.py',
    'apis/analysis/usage_over_training': 'test_engine/test_routing_hook.py',
    'apis/inference/save_predictions': 'test_tools/test_train_and_test.py',
    'apis/training/test': 'test_tools/test_train_and_test.py',
    'apis/training/train': 'test_tools/test_train_and_test.py',
    # parts of the inferencer, the page, export and conversion
    'apis/deploy/export_check': 'test_apis/test_export.py',
    'apis/inference/inferencer_options': 'test_apis/test_inferencer.py',
    'apis/inference/model_index': 'test_apis/test_inferencer.py',
    'apis/inference/result_writer': 'test_apis/test_inferencer.py',
    'apis/inference/video': 'test_apis/test_sources.py',
    'converters/rank_files': 'test_converters/test_m3vit.py',
    'converters/': 'test_converters/test_mlore.py',
    # stages of one computation, compared with references as a whole
    'datasets/intrinsics': 'test_datasets/test_cityscapes.py',
    'datasets/label_readers/disparity': 'test_datasets/test_cityscapes.py',
    'datasets/transforms/resampling': 'test_datasets/test_transforms/test_warp.py',
    'datasets/transforms/depth_normals': 'test_datasets/test_cityscapes.py',
    'datasets/nyud_v2_labels': 'test_datasets/test_nyud_labeled.py',
    'datasets/pascal_classes': 'test_datasets/test_label_readers/test_mat.py',
    'synth_rooms/furniture': 'test_synth_rooms/test_scene.py',
    'evaluation/counting_pool': 'test_evaluation/test_boundary_metric.py',
    'evaluation/functional/': 'test_evaluation/test_functional.py',
    'evaluation/functional/boundary/': 'test_evaluation/test_boundary_stages.py',
    'evaluation/functional/boundary/counts': 'test_evaluation/test_boundary_counts.py',
    'evaluation/functional/boundary/matching': 'test_evaluation/test_boundary_counts.py',
    'evaluation/functional/boundary/scores': 'test_evaluation/test_boundary_scores.py',
    'evaluation/metrics/base': 'test_evaluation/test_not_finite.py',
    'evaluation/metrics/': 'test_evaluation/test_metrics_by_hand.py',
    'evaluation/metrics/edge_f1_metric': 'test_evaluation/test_per_image_metric.py',
    'evaluation/report': 'test_evaluation/test_multi_task_evaluator.py',
    'models/backbones/dilated_resnet': 'test_models/test_golden_sharing.py',
    'models/backbones/encoders_in_step': 'test_models/test_golden_sharing.py',
    'models/backbones/mtan': 'test_models/test_golden_sharing.py',
    'models/one_task': 'test_converters/test_extract_task.py',
    'models/decode_heads/deeplab_head': 'test_models/test_decode_heads/test_densemtl_head.py',
    **dict.fromkeys(
        ('models/decode_heads/cross_task', 'models/decode_heads/mti_net_head', 'models/decode_heads/pad_net_head'),
        'test_models/test_decode_heads/test_cross_task_heads.py',
    ),
    'models/decode_heads/mod_squad_head': 'test_models/test_backbones/test_mod_squad_vit.py',
    'models/decode_heads/pad_net_plus_head': 'test_models/test_decode_heads/test_densemtl_head.py',
    'models/decode_heads/': 'test_models/test_decode_heads/test_heads.py',
    'models/backbones/task_prompter_vit': 'test_models/test_decode_heads/test_task_prompter_head.py',
    'models/layers/affinity_decoder': 'test_models/test_decode_heads/test_task_prompter_head.py',
    **dict.fromkeys(
        ('models/layers/cross_task_attention', 'models/layers/invpt_stage', 'models/layers/pyramid_sum'),
        'test_models/test_decode_heads/test_invpt_head.py',
    ),
    'models/layers/folded_mixture': 'test_models/test_fast_paths.py',
    'models/layers/mlore_block': 'test_models/test_mlore_against_literal.py',
    'models/layers/prediction_head': 'test_models/test_layers/test_stage_fusion.py',
    'models/backbones/stem_resnet': 'test_models/test_golden_densemtl.py',
    'models/layers/aspp': 'test_models/test_golden_densemtl.py',
    'models/layers/correlation_attention': 'test_models/test_layers/test_cross_task_exchange.py',
    'models/layers/gated_conv': 'test_models/test_layers/test_cross_task_exchange.py',
    'models/layers/section_decoder': 'test_models/test_decode_heads/test_densemtl_head.py',
    **dict.fromkeys(
        ('models/layers/pup_decoder', 'models/layers/task_attention'), 'test_models/test_decode_heads/test_pup_head.py'
    ),
    'models/layers/token_router': 'test_models/test_backbones/test_m3vit.py',
    'models/ops/recompute': 'test_models/test_fast_paths.py',
    'models/layers/initial_prediction': 'test_models/test_golden_pad_net.py',
    'models/layers/residual_blocks': 'test_models/test_golden_pad_net.py',
    'models/layers/squeeze_excite': 'test_models/test_layers/test_feature_propagation.py',
    'models/layers/stage_exchange': 'test_models/test_golden_sharing.py',
    'models/layers/wide_mixture': 'test_models/test_mlore_against_literal.py',
    'models/losses/berhu': 'test_models/test_losses/test_cosine_normals.py',
    'models/losses/': 'test_models/test_losses/test_task_losses.py',
    'models/distributed': 'test_models/test_train_steps.py',
    'engine/config_check/': 'test_engine/test_config_check/test_config_check.py',
    'engine/hooks/feature_cache_hook': 'test_engine/test_feature_cache.py',
    # declarations
    'tasks/order': 'test_models/test_decode_heads/test_cross_task_heads.py',
    'models/output': 'test_models/test_losses/test_criterion.py',
    'registry': 'test_tasks/test_errors_and_files.py',
    'utils/mat_structure': 'test_utils/test_mat_files.py',
    'version': 'test_packaging.py',
}


def own_file(module: str):
    """The test file named after the module, below the folder of its package; or None."""
    folder, name = module.split('/')[0], module.split('/')[-1]
    return next((TESTS / f'test_{folder}' if '/' in module else TESTS).rglob(f'test_{name}.py'), None)


def shared_file(module: str):
    keys = [key for key in SHARED if key == module or (key.endswith('/') and module.startswith(key))]
    return TESTS / SHARED[max(keys, key=len)] if keys else None


@pytest.mark.parametrize('module', MODULES)
def test_it_has_a_test_file(module):
    file = own_file(module) or shared_file(module)
    assert file is not None, f'nothing tests {module}: write test_{module.split("/")[-1]}.py'
    assert 'def test_' in file.read_text(encoding='utf-8')


@pytest.mark.parametrize('entry', SHARED)
def test_no_entry_is_left_over(entry):
    modules = [module for module in MODULES if module == entry or (entry.endswith('/') and module.startswith(entry))]
    assert [module for module in modules if own_file(module) is None], f'{entry}: take it out of the list'
