"""The two layouts."""

from mlore_mm.synth_rooms.generate import image_name
from mlore_mm.synth_rooms.layouts import LAYOUTS


def test_sizes_of_images_by_number():
    assert [LAYOUTS['pascal'].image_size(i, (100, 160)) for i in range(5)] == [
        (100, 160),
        (100, 160),
        (160, 100),
        (100, 160),
        (90, 160),
    ]
    assert LAYOUTS['pascal'].image_size(7, (100, 160)) == (160, 100)
    assert LAYOUTS['nyud'].image_size(2, (100, 160)) == (100, 160)
    assert image_name('val', 3) == 'val_00003'
