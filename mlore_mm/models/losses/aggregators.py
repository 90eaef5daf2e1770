"""The methods of gradient surgery: the aggregators of torchjd by their names there, with its options."""

from mlore_mm.models.losses.torchjd_surgery import ELEMENTS, ROWS, TorchJDSurgery
from mlore_mm.registry import MODELS

# Not offered. ExcessMTL: it sums squares per weight of the encoder over the steps, and features belong to images.
LEFT_OUT = ('ExcessMTL',)


@MODELS.register_module()
class AlignedMTL(TorchJDSurgery):
    """Turn and stretch the gradients as little as needed to make them orthogonal and of one length; then sum.

    Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023. That length is the smallest
    singular value of the gradients' matrix, see ``scale_mode``; Adam, whose steps do not depend on it, does not notice.
    """


@MODELS.register_module()
class CAGrad(TorchJDSurgery):
    """The best direction for the worst task near the mean gradient: Liu et al., NeurIPS 2021."""


@MODELS.register_module()
class ConFIG(TorchJDSurgery):
    """A direction with equal cosines to all gradients: Liu et al., ICLR 2025."""

    asks = ROWS


@MODELS.register_module()
class Constant(TorchJDSurgery):
    """The given weights."""

    asks = ROWS


@MODELS.register_module()
class CRMOGM(TorchJDSurgery):
    """Another method with its weights smoothed over the steps: Zhou et al., NeurIPS 2022."""


@MODELS.register_module()
class DualProj(TorchJDSurgery):
    """The summed gradient projected to where it harms no task: Lopez-Paz and Ranzato, NeurIPS 2017, Eq. 11."""


@MODELS.register_module()
class FairGrad(TorchJDSurgery):
    """Alpha-fair progress of the tasks: Ban and Ji, ICML 2024."""


@MODELS.register_module()
class GradDrop(TorchJDSurgery):
    """One sign per number, drawn by how the tasks pull: Chen et al., NeurIPS 2020."""

    asks = ELEMENTS


@MODELS.register_module()
class GradVac(TorchJDSurgery):
    """Cosines of the gradients brought up to their running means: Wang et al., ICLR 2021."""


@MODELS.register_module()
class IMTLG(TorchJDSurgery):
    """Equal projections to all gradients: Liu et al., ICLR 2021."""


@MODELS.register_module()
class Krum(TorchJDSurgery):
    """The gradients with the nearest neighbours: Blanchard et al., NeurIPS 2017."""


@MODELS.register_module()
class Mean(TorchJDSurgery):
    """The mean of the gradients."""

    asks = ROWS


@MODELS.register_module()
class MGDA(TorchJDSurgery):
    """The shortest convex combination: Desideri, 2012; Sener and Koltun, NeurIPS 2018."""


@MODELS.register_module()
class MoDo(TorchJDSurgery):
    """MGDA by one step of its weights for each step of training: Chen et al., NeurIPS 2023."""


@MODELS.register_module()
class NashMTL(TorchJDSurgery):
    """The Nash bargaining solution: Navon et al., ICML 2022."""

    asks = ROWS


@MODELS.register_module()
class PCD(TorchJDSurgery):
    """The first task leads, each other one makes a share of its progress: priority-constrained descent, TMLR 2026."""


@MODELS.register_module()
class PCGrad(TorchJDSurgery):
    """From each gradient, take away what points against another one; then sum: Yu et al., NeurIPS 2020."""


@MODELS.register_module()
class Random(TorchJDSurgery):
    """Weights drawn anew in each step: Lin et al., TMLR 2022."""

    asks = ROWS


@MODELS.register_module()
class SDMGrad(TorchJDSurgery):
    """MGDA kept near the mean gradient: Xiao et al., NeurIPS 2023."""


@MODELS.register_module()
class Sum(TorchJDSurgery):
    """The sum, as without surgery."""

    asks = ROWS


@MODELS.register_module()
class TrimmedMean(TorchJDSurgery):
    """The mean without the largest and smallest numbers: Yin et al., ICML 2018."""

    asks = ELEMENTS


@MODELS.register_module()
class UPGrad(TorchJDSurgery):
    """Every gradient projected to where it harms no task; then sum: Quinton and Rey, 2024."""


AGGREGATORS = {cls.__name__: cls.asks for cls in TorchJDSurgery.__subclasses__()}
