/**
 * Words of captions of people on video, by subject. Many regular forms (plurals, -ing) are left out: the tokenizer has
 * pieces for endings.
 */
const GROUPS: Readonly<Record<string, string>> = {
  grammar: `a about above across after again against all almost along also although always am among an and
    another any are around at away back be because been before behind below beside between both but by
    can could did do done down during each either else enough even ever every few first for from further
    get getting given gives go gone had has have having he her here herself him himself his how i if in
    inside instead into is it itself just keep last least less let like little made make making many may
    me middle more most much must my near neither never next no nor not nothing now of off often on once
    one onto or other our out outside over own per quite rather same second seems several shall she
    should side since so some something still such than that the their them themselves then there these
    they thing third this those though three through throughout to together too toward two under until
    up upon us very was we well were what when where whether which while who whole whose why will with
    within without would yet you your four five six seven eight nine ten`,
  people: `adult artist athlete avatar baby boy character child children choreographer couple crowd dancer
    elderly everyone face female figure friend gentleman girl group guy human kid ladies lady male man
    men model nobody old older people performer person singer someone stranger student teacher team
    teenager woman women worker young younger youth`,
  body: `afro ankle arm bald beard belly bob body braid brow bun cheek chest chin crop curls curly ear elbow
    eye eyebrows fair feet finger fist foot forehead freckles hair haircut hand head heel hip knee knees
    leg limbs lip moustache mouth muscles neck nose pale palm ponytail shaved shoulder shoulders skin
    smile straight swept tan tattoo teeth thigh thumb toe torso waist wavy wrist`,
  clothes: `apron backpack bag band belt blazer blouse boot bottom bow bracelet button cap cape cardigan clothes
    clothing coat collar costume cotton crown cuff denim dress earrings fabric fashion glove gown hat
    headband hood hoodie jacket jeans jersey jewelry jumper jumpsuit kimono knit lace leather leggings
    linen logo long-sleeved loose mask necklace necktie outfit overalls pants pattern pocket print
    pullover robe sandals scarf shirt shoe short short-sleeved shorts silk skirt sleeve sleeved
    sleeveless slippers sneakers sock strap suit sunglasses sweater sweatpants sweatshirt swimsuit
    t-shirt tank tee tie tight top tracksuit trousers turtleneck tutu uniform vest watch wearing wears
    wool worn`,
  patterns: `argyle check checkered checks cross diamond disc dots dotted floral flower heart line panel patch
    pinstripes plaid plain polka ring solid split spot spotted square star stripe striped stripes stripy
    triangle zigzag`,
  colours: `amber aqua azure beige black blonde blue bright bronze brown color colorful colour colourful cool
    copper coral cream crimson cyan dark deep dull emerald faded ginger gold golden gray green grey
    hazel indigo ivory khaki lavender light lilac lime magenta maroon mauve metallic mint mustard muted
    navy neon ochre olive orange pastel peach pink plum purple red rose ruby rust saffron sage salmon
    sand scarlet sepia shade silver slate taupe teal terracotta tone turquoise vibrant violet vivid warm
    white yellow`,
  places: `air alley apartment area backdrop background balcony bar bare basement beach bedroom bench blank
    bookshelf brick bridge building bush cafe camera carpet ceiling chair city classroom clear cloud
    cloudy club cluttered concrete corner corridor countryside court curtain dance dancefloor deck
    desert desk door empty fence field floor foggy forest furniture gallery garden gate glass grass
    ground gym hall hallway home horizon hotel house indoor kitchen lake lamp lawn library living market
    meadow mirror mountain museum narrow nature neutral night ocean office open outdoor painted painting
    park path pavement picture pillar place plant platform playground pool poster rain rainy rehearsal
    restaurant river road rock roof room rug rural scene school sea seat set setting shelf shop sidewalk
    simple sky snow snowy sofa space spacious spotlight stadium stage stairs station stone street studio
    suburb sun sunlight sunny sunset table theater theatre tidy tile tiled tower town track tree tunnel
    underground urban wall warehouse water wide window wood wooden yard`,
  motion: `acting action active aerobics arms-up balance ballet bending bends bounce bouncing breakdance
    breaking clap clapping crouching danced dancing energetic energetically exercise exercising facing
    fast flowing forward frantic freestyle gentle gently gesture gesturing graceful greeting hip-hop
    hold hop hopping jazz jump kick kneeling leaping left lift looking looks lowering lunge martial
    motion move moved movement moving music nodding performance performing performs pirouette playing
    point pose posed posing pull punch push quick raise raised raising reach relaxed rhythm right
    rotating routine run running salsa sequence shake shaking shuffle sideways sitting slide sliding
    slow smiling smooth spin spinning sport squat standing stands step stepping stop stretch strong sway
    swing tango tap training turn twist walk waltz wave waving workout yoga`,
  shots: `2d 3d 4k angle animated anime artistic artwork blur blurred blurry bokeh cartoon center centre
    centred cinematic clip close close-up composition contrast daylight depth detail documentary drawing
    exposure eye-level film focus footage foreground frame framed framing front full full-body half
    half-body hd head-to-toe high illustration image in-frame lens level long long-shot low medium
    morning movie natural noon overexposed overhead pan perspective photo photograph photography
    photorealistic portrait profile quality real realistic rear render resolution screen shadow sharp
    shot side-view silhouette sketch smartphone soft static steady style styled stylish texture tripod
    upper upper-body vertical video view viewer visible waist-up watermark zoom`,
  looks: `adorable alone attractive average beautiful big broad calm casual cheerful classic clean confident
    cute different elegant excited expression fit fresh funny good great handsome happy heavy huge
    intense large lean lively lovely mature medium-length modern muscular neat new nice perfect playful
    plump powerful pretty quiet round sad serious shiny shoulder-length single slender slim small smart
    sporty tall thick thin tiny traditional unique usual vintage wild`,
  faults: `artifacts bad broken chaotic cropped damaged deformed disfigured distorted duplicate error extra
    fused ghosting gloomy grainy jittery jpeg malformed messy missing mutated noise noisy poor subtitles
    text three-legged ugly unclear unnatural worst wrong`,
};

/** Every word once, in a fixed order. */
export const CAPTION_WORDS: readonly string[] = [
  ...new Set(Object.values(GROUPS).flatMap((group) => group.split(/\s+/))),
];
