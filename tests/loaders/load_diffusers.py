"""diffusers loads a pipeline, and one part of it, by name."""

import torch
from answers import main, told
from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel


def make(folder: str) -> None:
    """A pipeline of a small U-Net of random weights and a scheduler."""
    torch.manual_seed(1)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=5)).save_pretrained(folder)


def check(folder: str, name: str) -> None:
    """The same weights as from the folder, and it runs."""
    wanted = DDPMPipeline.from_pretrained(folder).unet.state_dict()
    pipeline = DiffusionPipeline.from_pretrained(name)
    part = UNet2DModel.from_pretrained(name, subfolder="unet")
    for unet in (pipeline.unet, part):
        loaded = unet.state_dict()
        assert loaded.keys() == wanted.keys()
        assert all(torch.equal(loaded[key], wanted[key]) for key in wanted)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 1)
    told("diffusers", "huggingface_hub", ways=["from_pretrained", "subfolder"])


if __name__ == "__main__":
    main(make, check)
