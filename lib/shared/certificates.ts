import { X509Certificate } from "node:crypto";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;
/** https://www.rfc-editor.org/rfc/rfc7468#section-2 */
const LINE = 64;

/**
 * Certificates as short as text can be: base64, with commas between them.
 *
 * @param pem one certificate or several
 * @throws an error that says what is wanted, if it is none
 */
export function fromPem(pem: string): string {
  const found = [...pem.matchAll(CERTIFICATE)].map(([, base64]) => base64!.replace(/\s/g, ""));
  if (found.length === 0 || !found.every(isCertificate)) {
    throw new Error("certificates are wanted, as PEM: -----BEGIN CERTIFICATE-----…");
  }
  return found.join(",");
}

/** The certificates that {@link fromPem} has made short, each as PEM. */
export const toPem = (short: string): readonly string[] =>
  short.split(",").map((base64) => {
    const lines = base64.match(new RegExp(`.{1,${LINE}}`, "g")) ?? [];
    return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
  });

function isCertificate(base64: string): boolean {
  try {
    return new X509Certificate(Buffer.from(base64, "base64")).raw.length > 0;
  } catch {
    return false;
  }
}
