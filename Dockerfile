# A server of an exported model, and the page for the browser: on the CPU, without torch, not as root.
#
#   docker build --target server -t lightbox-server .
#   docker run --rm -p 127.0.0.1:8000:8000 -e LIGHTBOX_API_KEY -v ./models/onnx/<key>:/export:ro lightbox-server
#
# compose.yaml starts both beside MLflow. No model and no image of a patient is in what this builds.
FROM python:3.12.12-slim-bookworm AS server

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /lightbox
COPY requirements-serve.txt ./
RUN pip install --no-cache-dir --no-deps --requirement requirements-serve.txt
COPY params.yaml ./
COPY stages ./stages

# what it remembers: features of what it has seen, downloaded models
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin lightbox \
    && install --directory --owner=lightbox --mode=0700 .lightbox
USER 10001
VOLUME /lightbox/.lightbox
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["python", "-m", "stages"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--folder", "/export"]

FROM server AS app

USER root
COPY requirements-app.txt ./
RUN pip install --no-cache-dir --no-deps --requirement requirements-app.txt
USER 10001
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["app", "--host", "0.0.0.0", "--port", "8501", "--folder", "/export"]
