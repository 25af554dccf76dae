"""Colours, sizes and fonts: quiet, dense, and from no other server."""

import gradio as gr

from melbo_app.settings import ROOT

STYLES = [
    ROOT / "assets" / "css" / name
    for name in (
        "page.css",
        "components.css",
        "start.css",
        "grid.css",
        "maps.css",
        "find.css",
        "labelling.css",
        "chat.css",
        "audit.css",
    )
]


def theme() -> gr.themes.Base:
    """The page's theme, with the fonts of the reader's system."""
    return gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        spacing_size="sm",
        radius_size="sm",
        text_size="sm",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_border_width="0px",
        block_shadow="none",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_padding="4px 0",
        block_label_text_size="*text_sm",
        block_title_text_size="*text_sm",
        block_title_text_weight="500",
        block_title_text_color="*body_text_color_subdued",
        block_title_text_color_dark="*body_text_color_subdued",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_width="1px",
        input_padding="6px 9px",
        button_large_text_size="*text_md",
        button_large_text_weight="500",
        button_large_padding="6px 14px",
        button_small_padding="4px 10px",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )
