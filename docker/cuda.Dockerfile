# docker build -f docker/cuda.Dockerfile -t adept:cuda .
# docker run --rm --gpus all --shm-size 8g -v "$PWD:/data" adept:cuda pretrain --help
# torch's own wheels bring CUDA's libraries; the host needs NVIDIA's driver and its container toolkit.
FROM python:3.12-slim
RUN pip install --no-cache-dir uv
ENV UV_SYSTEM_PYTHON=1 UV_NO_CACHE=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY adept_hub adept_hub
COPY training training
RUN uv pip install '.[train,onnx]' && rm -rf /src
RUN useradd --create-home adept
USER adept
WORKDIR /data
ENTRYPOINT ["adept"]
