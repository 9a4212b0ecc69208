"""What was wrong with a sample, in words beside the code that machines read."""

from __future__ import annotations

from collections.abc import Mapping

from audit.report.i18n import N_, gettext

_WORDS: Mapping[str, str] = {
    "NO_FOREGROUND": N_("no foreground was found"),
    "FULL_FOREGROUND": N_("the foreground fills the whole image"),
    "BLANK_MAP": N_("the saliency map is blank"),
    "NOT_FINITE": N_("the model gives numbers that are not finite"),
    "UNREADABLE": N_("the file cannot be read"),
    "ALPHA_DROPPED": N_("transparency was laid on white"),
    "BAD_BOX": N_("the box cannot be used"),
    "BAD_PATH": N_("the path cannot be used"),
    "BOX_NOT_FINITE": N_("the box holds numbers that are not finite"),
    "CHANGED_DURING_RUN": N_("the file changed during the run"),
    "DANGLING_LINK": N_("the link leads nowhere"),
    "DATA_CORRUPT": N_("the picture is damaged"),
    "DECODER_CRASH": N_("decoding it ended the decoder"),
    "DUPLICATE_LINK": N_("the link leads to an image that is there already"),
    "EMPTY_BOX": N_("no box has an area inside the image"),
    "EMPTY_CLASS": N_("the class has no image"),
    "EXIF_ROTATED": N_("turned as its EXIF data say"),
    "EXIF_UNREADABLE": N_("its EXIF data cannot be read"),
    "FIRST_FRAME_ONLY": N_("only the first of its frames was used"),
    "FRAMES_UNREADABLE": N_("its frames cannot be read"),
    "HEADER_CORRUPT": N_("the header of the file is damaged"),
    "HIGH_BIT_DEPTH_SCALED": N_("more than 8 bits a channel were scaled to 8"),
    "IGNORED_FILE": N_("not an image; left alone"),
    "LABEL_CONFLICT": N_("the same image has two labels"),
    "LAB_CONVERTED": N_("converted from Lab colours"),
    "LINK_LOOP": N_("the link leads in a circle"),
    "LOADING_FAILED": N_("loading it failed"),
    "MASK_BESIDE_IMAGE": N_("a mask that lies beside its image"),
    "MASK_BORDER_IGNORED": N_("the undecided border of the mask was left out"),
    "MASK_DATA_CORRUPT": N_("the mask is damaged"),
    "MASK_LIKE_A_PHOTOGRAPH": N_("the mask looks like a photograph"),
    "MASK_MANY_VALUES": N_("the mask holds more than two values"),
    "MASK_NO_ALPHA": N_("the mask has nothing transparent"),
    "MASK_ORIENTATION_AMBIGUOUS": N_("whether the mask must be turned is not certain"),
    "MASK_SHAPE": N_("the mask has another shape"),
    "MASK_SIZE": N_("the mask has another size than its image"),
    "MASK_THRESHOLDED": N_("the soft edge of the mask was cut at half"),
    "MASK_WITHOUT_BACKGROUND": N_("the mask leaves no background"),
    "NON_FINITE_PIXELS": N_("pixels that are not finite"),
    "NOT_AN_ALLOWED_IMAGE": N_("no picture of a kind that is read"),
    "NOT_AN_IMAGE_NAME": N_("the name is not that of a picture"),
    "NOT_A_FILE": N_("no regular file"),
    "NO_BOX": N_("no box was given"),
    "NO_MASK": N_("no mask was found"),
    "OUTLINE_NOT_MADE": N_("no outline was estimated"),
    "OUTSIDE_ROOT": N_("it lies outside the folder of the dataset"),
    "OUT_OF_MEMORY": N_("there was not enough memory"),
    "TIMEOUT": N_("decoding took too long"),
    "TOO_MANY_BYTES": N_("the file is too large"),
    "TOO_MANY_PIXELS": N_("too many pixels"),
    "TOO_SMALL": N_("the picture is too small"),
    "UNIFORM_IMAGE": N_("the picture has one colour only"),
    "UNSUPPORTED_MODE": N_("a colour mode that is not supported"),
    "WRONG_EXTENSION": N_("the name promises another format"),
}


def problem_words(code: str) -> str:
    """Say what was wrong; empty for a code that has no words."""
    known = _WORDS.get(code)
    return gettext(known) if known else ""
