# docker build -f docker/cpu.Dockerfile -t adept:cpu .
# docker run --rm -v "$PWD:/data" adept:cpu list
FROM python:3.12-slim
RUN pip install --no-cache-dir uv
ENV UV_TORCH_BACKEND=cpu UV_SYSTEM_PYTHON=1 UV_NO_CACHE=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY adept_hub adept_hub
COPY training training
RUN uv pip install '.[train,onnx]' && rm -rf /src
# The caches lie under HOME; whoever runs the container as another user sets HOME to a folder of theirs.
RUN useradd --create-home adept
USER adept
WORKDIR /data
ENTRYPOINT ["adept"]
