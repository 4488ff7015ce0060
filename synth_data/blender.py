"""Blender draws a sample. The only module that imports ``bpy`` (GPL), and only in a process of its own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
import OpenEXR
from mathutils import Euler, Matrix, Vector

from randomization.appearance import SHAPES, Distractor, Light, Material
from randomization.sensing import to_linear
from randomization.textures import Image, paint, paint_backdrop
from synth_data import meshes
from synth_data.sample import Sample, SynthConfig
from synth_data.scene import DISTRACTOR, FLOOR, GROUND, Posed, Scene
from vision.camera import Camera

_LARGE, _SMALL = 256, 32  # edge of a painted texture, pixels: the floor, and what is small in the image
_FAR = 1000.0  # m: how far the camera sees


class Studio:
    """One scene in Blender's memory, changed from sample to sample.

    Textures, lights and distractors stay in their slots and are overwritten, so that memory does not grow.
    """

    def __init__(self, scene: Scene, config: SynthConfig, scratch: Path) -> None:
        """``scratch`` is an EXR file to render to.

        Raises:
            ValueError: the configuration asks for a GPU, and there is none.
        """
        self.scene, self.scratch = scene, scratch
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._blender = bpy.context.scene
        self._set_renderer(config)
        self._floor = _Surface("floor", _LARGE)
        self._links = [_Surface(name, _SMALL) for name in scene.links]
        self._shapes = []
        for geom in scene.geoms:
            surface = self._floor if geom.link == FLOOR else self._links[geom.link]
            index = GROUND if geom.link == FLOOR else geom.link + 1
            self._shapes.append(_add(geom.name, geom.mesh, surface.material, index))
        self._even = _add_ambient(self._blender)
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self._camera.data.sensor_fit, self._camera.data.clip_start = "VERTICAL", 0.01
        self._camera.data.clip_end = _FAR
        self._camera.rotation_mode = "QUATERNION"
        self._blender.collection.objects.link(self._camera)
        self._blender.camera = self._camera
        self._lights = [_add_light(self._blender, f"light{i}") for i in range(config.appearance.lights[1])]
        forms = {
            "sphere": meshes.ellipsoid((1, 1, 1)),
            "box": meshes.box((1, 1, 1)),
            "cylinder": meshes.cylinder(0.7, 1),
            "cone": meshes.cone(0.8, 1),
        }
        surfaces = [_Surface(f"distractor{i}", _SMALL) for i in range(config.appearance.distractors[1])]
        self._distractors = [
            (surface, {form: _add(form, forms[form], surface.material, DISTRACTOR + i) for form in SHAPES})
            for i, surface in enumerate(surfaces)
        ]

    def _set_renderer(self, config: SynthConfig) -> None:
        blender, size = self._blender, self.scene.size
        render, cycles = blender.render, blender.cycles
        render.engine = "CYCLES"
        render.resolution_x = render.resolution_y = size
        render.resolution_percentage = 100
        render.threads_mode, render.threads = "FIXED", 1
        # Data that is kept between renders saves nothing here, and misses that a picture's pixels have changed.
        render.use_persistent_data = False
        render.use_compositing = render.use_sequencer = False
        render.motion_blur_shutter, render.motion_blur_position = 1.0, "CENTER"
        render.filepath = str(self.scratch)
        settings = render.image_settings
        settings.media_type, settings.file_format = "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER"
        settings.color_depth, settings.exr_codec = "32", "NONE"
        cycles.device, cycles.samples = _device(config.device), config.light_paths
        cycles.use_adaptive_sampling = cycles.use_denoising = False
        # Direct light, and one mirrored ray: enough for a floor that reflects, and no more than is paid for.
        cycles.max_bounces = cycles.glossy_bounces = 1
        cycles.diffuse_bounces = cycles.transmission_bounces = cycles.volume_bounces = 0
        cycles.transparent_max_bounces = 0
        cycles.pixel_filter_type, cycles.filter_width = "BOX", 1.0
        # A few lamps far away are chosen from faster without a tree, and the backdrop is cheaper to put in afterwards.
        cycles.use_light_tree, render.film_transparent = False, True
        blender.view_layers[0].use_pass_object_index = True
        blender.frame_set(1)

    def render(self, sample: Sample, photos: Sequence[Image] = ()) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Linear light ``(h, w, 3)``, and the index of what each pixel shows ``(h, w)``."""
        look = sample.appearance
        for surface, material in zip(self._links, look.links, strict=True):
            surface.wear(material, photos)
        self._floor.wear(look.floor, photos)
        self._even.inputs["Color"].default_value = (*look.ambient, 1)
        for lamp, light in zip(self._lights, [*look.lights, *[None] * len(self._lights)], strict=False):
            _shine(lamp, light)
        given = [*look.distractors, *[None] * len(self._distractors)]
        for (surface, forms), distractor in zip(self._distractors, given, strict=False):
            self._place(surface, forms, distractor, sample.moment, photos)
        self._move(sample)
        self._blender.cycles.seed = sample.index % 2**31
        bpy.ops.render.render(write_still=True)
        file = OpenEXR.File(str(self.scratch))
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
        drawn = next(pixels for name, pixels in channels.items() if name.endswith("Combined"))
        index = next(pixels for name, pixels in channels.items() if "Object Index" in name)
        # Blender's colours are multiplied with its alpha already.
        light = drawn[..., :3] + (1 - drawn[..., 3:]) * to_linear(
            paint_backdrop(look.backdrop, self.scene.size, photos)
        )
        return np.asarray(light, np.float32), np.asarray(np.rint(index), np.int32)

    def hidden(self, sample: Sample) -> npt.NDArray[np.bool_]:
        """Which keypoints something hides: the first thing on the way from the camera is not near the keypoint."""
        graph = bpy.context.evaluated_depsgraph_get()
        eye = Vector(sample.moment.camera.position)
        hidden = np.zeros(len(sample.moment.keypoints), bool)
        for i, (point, near) in enumerate(zip(sample.moment.keypoints, self.scene.carriers, strict=True)):
            way = Vector(point) - eye
            hit, _, _, _, thing, _ = self._blender.ray_cast(graph, eye, way.normalized(), distance=way.length)
            hidden[i] = hit and thing.pass_index - 1 not in near
        return hidden

    def _move(self, sample: Sample) -> None:
        """Put shapes and camera in place; with motion blur, from their start to their end."""
        moving = [*self._shapes, self._camera]
        for thing in moving:
            thing.animation_data_clear()
        blurred = sample.start is not None and sample.end is not None
        self._blender.render.use_motion_blur = blurred
        moments = [(1.0, sample.moment)]
        if sample.start is not None and sample.end is not None:
            # The shutter is open for one frame around frame 1: half of the way is on either side of it.
            moments = [(0.5, sample.start), (1.5, sample.end)]
        for frame, posed in moments:
            places = [
                *zip(posed.positions, posed.rotations, strict=True),
                (posed.camera.position, posed.camera.rotation),
            ]
            for thing, (position, rotation) in zip(moving, places, strict=True):
                thing.location = position
                thing.rotation_quaternion = Matrix(rotation).to_quaternion()
                if blurred:
                    thing.keyframe_insert("location", frame=frame)
                    thing.keyframe_insert("rotation_quaternion", frame=frame)
        if blurred:
            for thing in moving:
                _straighten(thing)
            self._blender.frame_set(1)
        camera: Camera = sample.moment.camera
        self._camera.data.angle = float(np.radians(camera.fovy))

    def _place(
        self,
        surface: "_Surface",
        forms: dict[str, Any],
        distractor: Distractor | None,
        moment: Posed,
        photos: Sequence[Image],
    ) -> None:
        for form, thing in forms.items():
            thing.hide_render = thing.hide_viewport = distractor is None or form != distractor.shape
        if distractor is None:
            return
        surface.wear(distractor.material, photos)
        camera = moment.camera
        distance = distractor.depth * float(np.linalg.norm(moment.keypoints.mean(axis=0) - camera.position))
        reach = distance * np.tan(np.radians(camera.fovy) / 2)
        local = np.array([distractor.across * reach, distractor.up * reach, -distance])
        thing = forms[distractor.shape]
        position = camera.position + camera.rotation @ local
        position[2] = max(position[2], distractor.size)  # on the floor, not in it
        thing.location = position
        thing.rotation_quaternion = Euler(distractor.angles).to_quaternion()
        thing.scale = (distractor.size,) * 3


class _Surface:
    """A material whose texture, gloss and direction can be changed."""

    def __init__(self, name: str, size: int) -> None:
        self.material = bpy.data.materials.new(name)
        nodes, links = _empty_nodes(self.material)
        self._image = bpy.data.images.new(name, size, size)
        coordinates = nodes.new("ShaderNodeTexCoord")
        self._mapping = nodes.new("ShaderNodeMapping")
        texture = nodes.new("ShaderNodeTexImage")
        texture.image, texture.projection, texture.projection_blend = self._image, "BOX", 0.2
        diffuse, self._glossy = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeBsdfGlossy")
        self._mix, output = nodes.new("ShaderNodeMixShader"), nodes.new("ShaderNodeOutputMaterial")
        links.new(coordinates.outputs["Object"], self._mapping.inputs["Vector"])
        links.new(self._mapping.outputs["Vector"], texture.inputs["Vector"])
        links.new(texture.outputs["Color"], diffuse.inputs["Color"])
        links.new(diffuse.outputs["BSDF"], self._mix.inputs[1])
        links.new(self._glossy.outputs["BSDF"], self._mix.inputs[2])
        links.new(self._mix.outputs["Shader"], output.inputs["Surface"])

    def wear(self, material: Material, photos: Sequence[Image]) -> None:
        """Look like ``material``."""
        _fill(self._image, paint(material.texture, self._image.size[0], photos))
        self._mapping.inputs["Scale"].default_value = (1 / material.period,) * 3
        self._mapping.inputs["Rotation"].default_value = (0, 0, material.angle)
        self._mix.inputs["Fac"].default_value = material.gloss
        self._glossy.inputs["Roughness"].default_value = material.roughness


def _empty_nodes(owner: Any) -> tuple[Any, Any]:
    owner.use_nodes = True
    owner.node_tree.nodes.clear()
    return owner.node_tree.nodes, owner.node_tree.links


def _fill(image: Any, picture: Image) -> None:
    """Copy a picture into Blender's image, whose rows run upwards."""
    pixels = np.ones((*picture.shape[:2], 4), np.float32)
    pixels[..., :3] = picture[::-1] / np.float32(255)
    image.pixels.foreach_set(pixels.ravel())
    image.update()


def _add(name: str, mesh: meshes.Mesh, material: Any, index: int) -> Any:
    data = bpy.data.meshes.new(name)
    data.from_pydata(mesh[0].tolist(), [], mesh[1])
    thing = bpy.data.objects.new(name, data)
    data.materials.append(material)
    if len(mesh[1]) > 6:  # round
        data.shade_smooth()
        data.set_sharp_from_angle(angle=0.7)
    thing.pass_index = index
    thing.rotation_mode = "QUATERNION"
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _add_ambient(scene: Any) -> Any:
    """Give the scene even light from everywhere; returns the node that holds its colour."""
    scene.world = bpy.data.worlds.new("ambient")
    scene.world.cycles.sampling_method = "NONE"  # a map of its brightness would cost 0.6 s after each change
    nodes, links = _empty_nodes(scene.world)
    even, output = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
    links.new(even.outputs["Background"], output.inputs["Surface"])
    return even


def _add_light(scene: Any, name: str) -> Any:
    lamp = bpy.data.objects.new(name, bpy.data.lights.new(name, "SUN"))
    scene.collection.objects.link(lamp)
    return lamp


def _shine(lamp: Any, light: Light | None) -> None:
    lamp.hide_render = light is None
    if light is not None:
        lamp.data.energy, lamp.data.angle, lamp.data.color = light.strength, light.softness, light.color
        # A lamp shines along its −z axis.
        lamp.rotation_euler = Euler((0, np.pi / 2 - light.elevation, light.azimuth), "XYZ")


def _straighten(thing: Any) -> None:
    """Let keyframes be joined by straight lines that go on beyond them."""
    for layer in thing.animation_data.action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                for curve in bag.fcurves:
                    curve.extrapolation = "LINEAR"
                    for key in curve.keyframe_points:
                        key.interpolation = "LINEAR"


def _device(name: str) -> str:
    """Cycles' word for the device, after switching it on."""
    if name == "cpu":
        return "CPU"
    preferences = bpy.context.preferences.addons["cycles"].preferences
    preferences.compute_device_type = name.upper()
    found = [device for device in preferences.get_devices_for_type(name.upper()) if device.type == name.upper()]
    if not found:
        raise ValueError(f"device is {name!r}, but Blender finds no such GPU here; accepted: cpu")
    for device in found:
        device.use = True
    return "GPU"


def silence() -> None:
    """Send what Blender prints to nowhere: it writes to the process's standard output, not to Python's."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
