"""ITU-R BT.601 studio swing, as MATLAB's rgb2ycbcr: the luminance on which the field's PSNR is measured.

The constants are plain numbers for values in [0, 255]; this module imports nothing, so everybody may read them.
"""

RGB_TO_YCBCR = (
    (65.481 / 255, 128.553 / 255, 24.966 / 255),
    (-37.797 / 255, -74.203 / 255, 112.0 / 255),
    (112.0 / 255, -93.786 / 255, -18.214 / 255),
)
OFFSET = (16.0, 128.0, 128.0)
LUMA = RGB_TO_YCBCR[0]
