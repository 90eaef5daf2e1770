_base_ = './densemtl_r101_nyud_sdne.py'

task_names = ['semseg', 'depth', 'normals']
