"""What async-mega-py makes of a fake MEGA; run by a Python that has it.

    python async_client.py URL EMAIL PASSWORD FOLDER FILE

What lies in FOLDER of the drive is downloaded into the folder `found` beside FILE. Then FILE is put
there and downloaded as `FILE.back`; put once more, and that deleted. It prints as JSON the names
that it found before, names and sizes afterwards, and how much is used.
"""

import asyncio
import json
import os
import sys

import yarl
from mega.api import MegaAPI
from mega.client import MegaNzClient


async def main(url: str, email: str, password: str, folder: str, file: str) -> None:
    """Do all of it."""
    MegaAPI._entrypoint = yarl.URL(f"{url}/cs")
    async with MegaNzClient() as client:
        await client.login(email, password)
        place = await client.create_folder(folder)
        tree = await client.get_filesystem(force=True)
        before = [node for node in tree.iterdir(place.id) if node.is_file]
        for node in before:
            await client.download(node, os.path.join(os.path.dirname(file), "found"))
        made = await client.upload(file, place.id)
        await client.download(made, f"{file}.back")
        doomed = await client.upload(file, place.id)
        await client._core.destroy(doomed.id)
        stats = await client.get_account_stats()
        tree = await client.get_filesystem(force=True)
        after = {node.attributes.name: node.size for node in tree.iterdir(place.id)}
        names = [node.attributes.name for node in before]
        print(json.dumps({"before": names, "after": after, "used": stats.storage.used}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
