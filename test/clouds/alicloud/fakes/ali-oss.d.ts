/** The signer of the vendor's client, which has no types of its own. */
declare module "ali-oss/lib/common/signUtils.js" {
  const signUtils: {
    authorizationV4(
      accessKeyId: string,
      accessKeySecret: string,
      region: string,
      method: string,
      request: {
        readonly headers: Readonly<Record<string, string>>;
        readonly queries: Readonly<Record<string, string | null>>;
      },
      bucket: string,
      key: string | undefined,
      additionalHeaders: readonly string[],
    ): string;
  };
  export default signUtils;
}
