"""Keys of timm's plain ViT inside a published checkpoint, as rows of a :class:`KeyTable`."""


def vit_rows(ours: str = 'backbone', published: str = 'backbone') -> list[tuple[str, str]]:
    """Rows from timm's names to those of :class:`PlainViT`, which are mmsegmentation's."""
    names = [
        ('cls_token', 'cls_token'),
        ('pos_embed', 'pos_embed'),
        ('patch_embed.proj.{p}', 'patch_embed.projection.{p}'),
        ('blocks.{i}.norm1.{p}', 'layers.{i}.ln1.{p}'),
        ('blocks.{i}.norm2.{p}', 'layers.{i}.ln2.{p}'),
        ('blocks.{i}.attn.qkv.{p}', 'layers.{i}.attn.attn.in_proj_{p}'),
        ('blocks.{i}.attn.proj.{p}', 'layers.{i}.attn.attn.out_proj.{p}'),
        ('blocks.{i}.mlp.fc1.{p}', 'layers.{i}.ffn.layers.0.0.{p}'),
        ('blocks.{i}.mlp.fc2.{p}', 'layers.{i}.ffn.layers.1.{p}'),
        ('norm.{p}', 'ln1.{p}'),
    ]
    return [(f'{published}.{old}', f'{ours}.{new}') for old, new in names]
