// The webcam: one stream for the whole page, on as long as somebody looks at it.

const SIDE = 384; // the longer side of a frame that is kept or sent

let stream = null;
let users = 0;

/** Why there is no camera, in words. */
export class NoCamera extends Error {}

/** Show the camera in a video element; gives a function that ends it. Throws NoCamera. */
export async function watch(video) {
  users += 1;
  try {
    stream ??= await opened();
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    leave();
    throw error instanceof NoCamera ? error : new NoCamera("The camera cannot be shown. Try again, or drop pictures.");
  }
  return () => {
    if (video.srcObject === null) return;
    video.srcObject = null;
    leave();
  };
}

/** What a video shows now, as a JPEG. */
export function frame(video) {
  const scale = SIDE / Math.max(video.videoWidth, video.videoHeight);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth * scale, video.videoHeight * scale];
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

function leave() {
  users -= 1;
  if (users > 0 || stream === null) return;
  stream.getTracks().forEach((track) => track.stop());
  stream = null;
}

async function opened() {
  if (!navigator.mediaDevices) throw new NoCamera("Browsers give the camera to pages over https or on this computer only. Drop pictures, or open the page by https.");
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: "environment" } });
  } catch (error) {
    const words = {
      NotAllowedError: "The browser does not let this page use the camera. Allow it beside the address, then try again.",
      NotFoundError: "No camera was found. Connect one, or drop pictures.",
      NotReadableError: "The camera is in use by another program. Close that, then try again.",
    };
    throw new NoCamera(words[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}
