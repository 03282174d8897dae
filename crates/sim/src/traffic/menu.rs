//! What the brands sell: dishes and modifiers, each in the eight languages of the branches, priced in reference cents
//! that a branch's currency turns into menu prices.
//!
//! Columns are in the order of [`super::world::COUNTRIES`]: Indonesia, the Philippines, Thailand, Vietnam, Malaysia,
//! Singapore, Japan, Taiwan.

/// A text in every language.
pub(super) type Titles = [&'static str; 8];

/// A dish.
pub(super) struct Dish {
    pub(super) reference_cents: i64,
    pub(super) titles: Titles,
}

/// Things to choose from for a dish, or for a choice made in another group.
#[derive(Debug)]
pub(super) struct Group {
    /// Distinguishes the groups within a branch.
    pub(super) code: i64,
    pub(super) titles: Titles,
    /// How many of the choices a customer may take.
    pub(super) picks_max: usize,
    pub(super) choices: &'static [Choice],
}

/// One choice of a group.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) reference_cents: i64,
    pub(super) titles: Titles,
    /// What there is to choose once this was chosen.
    pub(super) nested: Option<&'static Group>,
}

/// What a brand's kitchen makes.
pub(super) struct Cuisine {
    pub(super) category: Titles,
    pub(super) section: Titles,
    pub(super) dishes: [Dish; 6],
    pub(super) groups: &'static [&'static Group],
}

const fn dish(reference_cents: i64, titles: Titles) -> Dish {
    Dish { reference_cents, titles }
}

const fn choice(reference_cents: i64, titles: Titles) -> Choice {
    Choice { reference_cents, titles, nested: None }
}

static ICE: Group = Group {
    code: 1,
    titles: ["Es", "Ice level", "น้ำแข็ง", "Lượng đá", "Ais", "Ice level", "氷の量", "冰塊"],
    picks_max: 1,
    choices: &[
        choice(
            0,
            [
                "Es normal",
                "Regular ice",
                "น้ำแข็งปกติ",
                "Đá bình thường",
                "Ais biasa",
                "Regular ice",
                "普通",
                "正常冰",
            ],
        ),
        choice(
            0,
            ["Sedikit es", "Less ice", "น้ำแข็งน้อย", "Ít đá", "Kurang ais", "Less ice", "少なめ", "少冰"],
        ),
        choice(20, ["Tanpa es", "No ice", "ไม่ใส่น้ำแข็ง", "Không đá", "Tanpa ais", "No ice", "氷なし", "去冰"]),
    ],
};

static SUGAR: Group = Group {
    code: 2,
    titles: ["Gula", "Sugar level", "ความหวาน", "Độ ngọt", "Gula", "Sugar level", "甘さ", "甜度"],
    picks_max: 1,
    choices: &[
        choice(0, ["100%", "100%", "หวานปกติ 100%", "100% đường", "100%", "100%", "普通の甘さ", "全糖"]),
        choice(0, ["50%", "50%", "หวานน้อย 50%", "50% đường", "50%", "50%", "甘さ半分", "半糖"]),
        choice(
            0,
            [
                "Tanpa gula",
                "No sugar",
                "ไม่หวาน",
                "Không đường",
                "Kosong",
                "\"Kosong\" (no sugar)",
                "無糖",
                "無糖",
            ],
        ),
    ],
};

static SIZE: Group = Group {
    code: 3,
    titles: ["Ukuran", "Size", "ขนาด", "Kích cỡ", "Saiz", "Size", "サイズ", "份量"],
    picks_max: 1,
    choices: &[
        choice(0, ["Reguler", "Regular", "ธรรมดา", "Vừa", "Biasa", "Regular", "並盛", "一般"]),
        choice(120, ["Besar", "Large", "พิเศษ", "Lớn", "Besar", "Upsize", "大盛り", "加大"]),
    ],
};

static SPICE: Group = Group {
    code: 4,
    titles: [
        "Tingkat pedas",
        "Spice level",
        "ระดับความเผ็ด",
        "Độ cay",
        "Tahap pedas",
        "Spice level",
        "辛さ",
        "辣度",
    ],
    picks_max: 1,
    choices: &[
        choice(
            0,
            ["Tidak pedas", "Not spicy", "ไม่เผ็ด", "Không cay", "Tak pedas", "No chilli", "辛くない", "不辣"],
        ),
        choice(0, ["Sedang", "Medium", "เผ็ดกลาง", "Cay vừa", "Sederhana", "Medium", "中辛", "中辣"]),
        choice(
            30,
            [
                "Pedas mampus 🌶️🌶️",
                "Labuyo hot 🌶️",
                "เผ็ดมาก 🌶️",
                "Cay xé lưỡi 🌶️",
                "Pedas gila 🌶️",
                "\"Shiok\" hot 🌶️",
                "激辛 🌶️",
                "大辣 🌶️",
            ],
        ),
    ],
};

static EXTRAS: Group = Group {
    code: 5,
    titles: ["Tambahan", "Add-ons", "เพิ่มเติม", "Thêm", "Tambahan", "Add-ons", "トッピング", "加料"],
    picks_max: 3,
    choices: &[
        choice(
            60,
            [
                "Telur mata sapi",
                "Fried egg",
                "ไข่ดาว",
                "Trứng ốp la",
                "Telur mata",
                "Sunny-side egg",
                "目玉焼き",
                "荷包蛋",
            ],
        ),
        choice(
            90,
            ["Keju parut", "Quezo de bola", "ชีส", "Phô mai", "Keju", "Cheese", "とろけるチーズ", "起司"],
        ),
        choice(
            50,
            ["Kerupuk", "Chicharon", "แคบหมู", "Bánh phồng tôm", "Keropok", "Prawn crackers", "海苔", "滷蛋"],
        ),
        choice(
            110,
            [
                "Nasi tambah",
                "Extra rice",
                "ข้าวเพิ่ม",
                "Cơm thêm",
                "Nasi tambah",
                "Extra rice",
                "ご飯おかわり",
                "加飯",
            ],
        ),
    ],
};

static SET: Group = Group {
    code: 6,
    titles: [
        "Jadikan paket",
        "Make it a meal",
        "ชุดพร้อมเครื่องดื่ม",
        "Thêm nước uống",
        "Jadikan set",
        "Make it a set",
        "セットにする",
        "升級套餐",
    ],
    picks_max: 1,
    choices: &[
        Choice {
            reference_cents: 180,
            titles: [
                "Es teh manis",
                "Calamansi juice",
                "ชาเย็น",
                "Trà đá chanh",
                "Teh ais",
                "Iced lemon tea",
                "烏龍茶",
                "古早味紅茶",
            ],
            nested: Some(&ICE),
        },
        Choice {
            reference_cents: 220,
            titles: [
                "Es jeruk",
                "Sago't gulaman",
                "น้ำลำไย",
                "Nước mía",
                "Sirap bandung",
                "Bandung",
                "ラムネ",
                "冬瓜檸檬",
            ],
            nested: Some(&SUGAR),
        },
        choice(
            100,
            [
                "Air mineral",
                "Bottled water",
                "น้ำเปล่า",
                "Nước suối",
                "Air mineral",
                "Mineral water",
                "お水",
                "礦泉水",
            ],
        ),
    ],
};

/// The cuisines, one a brand.
pub(super) static CUISINES: [Cuisine; 5] = [
    Cuisine {
        category: ["Ayam", "Manok", "ไก่", "Gà", "Ayam", "Chicken", "鶏料理", "雞肉"],
        section: [
            "Favorit",
            "Best sellers",
            "ขายดี",
            "Bán chạy",
            "Pilihan ramai",
            "Crowd favourites",
            "人気",
            "人氣推薦",
        ],
        dishes: [
            dish(
                420,
                [
                    "Ayam geprek sambal bawang",
                    "Chicken inasal",
                    "ข้าวมันไก่ต้ม",
                    "Cơm gà xối mỡ",
                    "Nasi ayam hainan",
                    "Hainanese chicken rice",
                    "唐揚げ定食",
                    "海南雞飯",
                ],
            ),
            dish(
                480,
                [
                    "Ayam bakar madu",
                    "Pork-free chicken adobo",
                    "ไก่ทอดหาดใหญ่",
                    "Gà nướng mật ong",
                    "Ayam percik",
                    "Roast chicken rice",
                    "照り焼きチキン",
                    "蜜汁烤雞腿",
                ],
            ),
            dish(
                390,
                [
                    "Soto ayam lamongan",
                    "Tinolang manok",
                    "ต้มข่าไก่",
                    "Miến gà",
                    "Soto ayam",
                    "Chicken macaroni soup",
                    "鶏雑炊",
                    "香菇雞湯",
                ],
            ),
            dish(
                560,
                [
                    "Ayam taliwang utuh",
                    "Lechon manok (half)",
                    "ไก่ย่างส้มตำ",
                    "Gà hấp lá chanh",
                    "Ayam golek",
                    "Half chicken (bone-in)",
                    "チキン南蛮",
                    "鹽水雞半隻",
                ],
            ),
            dish(
                310,
                [
                    "Sate ayam isi 10",
                    "Isaw & chicken skewers",
                    "สะเต๊ะไก่",
                    "Xiên gà nướng sả",
                    "Satay ayam 10 cucuk",
                    "Chicken satay (10)",
                    "焼き鳥五本",
                    "椒鹽雞翅",
                ],
            ),
            dish(
                350,
                [
                    "Nasi goreng ayam \"spesial\"",
                    "Arroz caldo",
                    "ข้าวผัดกะเพราไก่ไข่ดาว",
                    "Xôi gà",
                    "Nasi goreng kampung",
                    "Chicken nasi goreng",
                    "親子丼",
                    "雞肉飯",
                ],
            ),
        ],
        groups: &[&SIZE, &SPICE, &EXTRAS, &SET],
    },
    Cuisine {
        category: ["Mi", "Pansit", "ก๋วยเตี๋ยว", "Phở & bún", "Mi", "Noodles", "麺類", "麵食"],
        section: [
            "Mi kuah & goreng",
            "Noodles & soup",
            "เส้นทุกชนิด",
            "Món nước",
            "Mi sup & goreng",
            "Soup or dry",
            "温かい麺",
            "湯麵・乾麵",
        ],
        dishes: [
            dish(
                380,
                [
                    "Mi ayam jamur",
                    "Pancit malabon",
                    "ก๋วยเตี๋ยวเรือ",
                    "Phở bò tái nạm",
                    "Mi kari",
                    "Laksa lemak",
                    "醤油ラーメン",
                    "紅燒牛肉麵",
                ],
            ),
            dish(
                410,
                [
                    "Mi aceh goreng",
                    "Batchoy",
                    "ผัดไทยกุ้งสด",
                    "Bún bò Huế",
                    "Char kuey teow",
                    "Hokkien prawn mee",
                    "味噌ラーメン",
                    "蚵仔麵線",
                ],
            ),
            dish(
                360,
                [
                    "Bakmi siram",
                    "Lomi",
                    "บะหมี่เกี๊ยวหมูแดง",
                    "Bún chả",
                    "Wantan mi",
                    "Wanton noodle (dry)",
                    "天ぷらうどん",
                    "擔擔麵",
                ],
            ),
            dish(
                450,
                [
                    "Kwetiau siram sapi",
                    "Bihon guisado",
                    "ราดหน้าหมูหมัก",
                    "Hủ tiếu Nam Vang",
                    "Mi rebus",
                    "Beef hor fun",
                    "つけ麺",
                    "乾拌意麵",
                ],
            ),
            dish(
                340,
                [
                    "Bihun kuah bakso",
                    "Sotanghon",
                    "เย็นตาโฟ",
                    "Bánh canh cua",
                    "Mihun sup",
                    "Fishball noodle soup",
                    "きつねそば",
                    "餛飩湯麵",
                ],
            ),
            dish(
                490,
                [
                    "Ramen kuah kari",
                    "Palabok \"fiesta\"",
                    "ข้าวซอยไก่",
                    "Mì Quảng",
                    "Laksa Johor",
                    "Curry noodle",
                    "豚骨ラーメン",
                    "麻辣鴨血麵",
                ],
            ),
        ],
        groups: &[&SIZE, &SPICE, &EXTRAS, &SET],
    },
    Cuisine {
        category: ["Minuman", "Drinks", "เครื่องดื่ม", "Đồ uống", "Minuman", "Beverages", "ドリンク", "飲品"],
        section: [
            "Kopi & teh",
            "Kape at tsaa",
            "ชากาแฟ",
            "Cà phê & trà",
            "Kopi & teh",
            "Kopi & teh",
            "お茶とコーヒー",
            "現泡茶・咖啡",
        ],
        dishes: [
            dish(
                210,
                [
                    "Kopi susu gula aren",
                    "Iced kapeng barako",
                    "ชาไทยนมสด",
                    "Cà phê sữa đá",
                    "Kopi peng",
                    "Kopi-C siew dai",
                    "カフェラテ",
                    "珍珠奶茶",
                ],
            ),
            dish(
                240,
                [
                    "Es cendol durian",
                    "Ube latte",
                    "ชาเขียวมัทฉะ",
                    "Trà sữa trân châu",
                    "Cendol",
                    "Gula melaka latte",
                    "抹茶ラテ",
                    "四季春青茶",
                ],
            ),
            dish(
                190,
                [
                    "Teh tarik",
                    "Salabat",
                    "ชามะนาว",
                    "Trà đào cam sả",
                    "Teh tarik kaw",
                    "Teh halia",
                    "ほうじ茶",
                    "冬瓜茶",
                ],
            ),
            dish(
                260,
                [
                    "Alpukat kocok",
                    "Mango shake",
                    "น้ำมะพร้าวปั่น",
                    "Sinh tố bơ",
                    "Jus mangga",
                    "Avocado shake",
                    "ゆずソーダ",
                    "芒果冰沙",
                ],
            ),
            dish(
                180,
                [
                    "Wedang jahe",
                    "Tablea hot chocolate",
                    "โกโก้เย็น",
                    "Cà phê đen",
                    "Koko ais",
                    "Malt dinosaur",
                    "ココア",
                    "杏仁茶",
                ],
            ),
            dish(
                230,
                [
                    "Es kopi kelapa",
                    "Buko pandan cooler",
                    "กาแฟโบราณ",
                    "Bạc xỉu",
                    "Kopi kelapa",
                    "Coconut cold brew",
                    "クリームソーダ",
                    "鮮奶仙草凍",
                ],
            ),
        ],
        groups: &[&SIZE, &SUGAR, &ICE],
    },
    Cuisine {
        category: [
            "Roti isi",
            "Sandwiches",
            "แซนด์วิช",
            "Bánh mì",
            "Sandwic",
            "Sandwiches",
            "サンド",
            "三明治",
        ],
        section: [
            "Sarapan",
            "Almusal",
            "มื้อเช้า",
            "Bữa sáng",
            "Sarapan",
            "All-day breakfast",
            "朝ごはん",
            "早午餐",
        ],
        dishes: [
            dish(
                290,
                [
                    "Roti bakar srikaya",
                    "Pandesal longganisa",
                    "ขนมปังสังขยา",
                    "Bánh mì thịt nướng",
                    "Roti bakar kaya",
                    "Kaya toast set",
                    "たまごサンド",
                    "起司蛋餅",
                ],
            ),
            dish(
                360,
                [
                    "Burger tempe keju",
                    "Tapa burger",
                    "เบอร์เกอร์หมูสับ",
                    "Bánh mì xíu mại",
                    "Burger jalanan",
                    "Chilli crab burger",
                    "カツサンド",
                    "花生豬排堡",
                ],
            ),
            dish(
                270,
                [
                    "Martabak mini telur",
                    "Egg & kesong puti",
                    "ไข่กระทะ",
                    "Bánh mì ốp la",
                    "Roti john",
                    "Roti john",
                    "ホットサンド",
                    "蘿蔔糕",
                ],
            ),
            dish(
                330,
                [
                    "Roti isi rendang",
                    "Sisig roll",
                    "แซนด์วิชหมูหยอง",
                    "Bánh mì bò lá lốt",
                    "Roti canai sardin",
                    "Otah bun",
                    "メンチカツパン",
                    "刈包",
                ],
            ),
            dish(
                250,
                [
                    "Pisang bakar cokelat",
                    "Ensaymada",
                    "โรตีกล้วยหอม",
                    "Bánh bao trứng muối",
                    "Pisang goreng cheese",
                    "Peanut pancake",
                    "あんバタートースト",
                    "鐵板吐司",
                ],
            ),
            dish(
                400,
                [
                    "Kebab sapi jumbo",
                    "Kesong puti melt",
                    "สโมกแซลมอนเบเกิล",
                    "Bánh mì đặc biệt",
                    "Murtabak daging",
                    "Smoked duck bagel",
                    "ローストビーフサンド",
                    "鮪魚可頌",
                ],
            ),
        ],
        groups: &[&EXTRAS, &SET],
    },
    Cuisine {
        category: [
            "Nasi mangkuk",
            "Rice bowls",
            "ข้าวหน้าต่าง ๆ",
            "Cơm tô",
            "Nasi mangkuk",
            "Donburi",
            "丼もの",
            "丼飯",
        ],
        section: [
            "Menu baru ✨",
            "Bago! ✨",
            "เมนูใหม่ ✨",
            "Món mới ✨",
            "Menu baharu ✨",
            "New & limited ✨",
            "季節限定 ✨",
            "新品上市 ✨",
        ],
        dishes: [
            dish(
                470,
                [
                    "Nasi daging teriyaki",
                    "Bistek bowl",
                    "ข้าวหน้าเนื้อ",
                    "Cơm bò lúc lắc",
                    "Nasi daging teriyaki",
                    "Gyu don",
                    "牛丼",
                    "牛肉丼",
                ],
            ),
            dish(
                520,
                [
                    "Nasi salmon mentai",
                    "Bangus belly bowl",
                    "ข้าวหน้าแซลมอน",
                    "Cơm cá hồi áp chảo",
                    "Nasi salmon mentai",
                    "Mentaiko salmon don",
                    "海鮮丼",
                    "鮭魚親子丼",
                ],
            ),
            dish(
                440,
                [
                    "Nasi ayam katsu kari",
                    "Chicken katsu bowl",
                    "ข้าวแกงกะหรี่หมูทอด",
                    "Cơm cà ri gà",
                    "Nasi kari katsu",
                    "Katsu curry",
                    "カツカレー",
                    "咖哩豬排飯",
                ],
            ),
            dish(
                390,
                [
                    "Nasi tahu telur",
                    "Tokwa't kangkong bowl",
                    "ข้าวหน้าเต้าหู้",
                    "Cơm chay thập cẩm",
                    "Nasi tauhu telur",
                    "Tofu egg bowl (v)",
                    "麻婆豆腐丼",
                    "麻婆豆腐飯",
                ],
            ),
            dish(
                430,
                [
                    "Nasi udang tempura",
                    "Gambas rice bowl",
                    "ข้าวหน้ากุ้งเทมปุระ",
                    "Cơm tôm rim",
                    "Nasi udang tempura",
                    "Ebi tempura don",
                    "天丼",
                    "炸蝦丼",
                ],
            ),
            dish(
                410,
                [
                    "Nasi cumi sambal hijau",
                    "Adobong pusit bowl",
                    "ข้าวไข่ข้นปู",
                    "Cơm tấm sườn bì chả",
                    "Nasi sotong sambal",
                    "Sambal squid bowl",
                    "三色丼",
                    "滷肉飯",
                ],
            ),
        ],
        groups: &[&SIZE, &SPICE, &EXTRAS, &SET],
    },
];

/// Descriptions that any dish can carry, a few in each language.
pub(super) static DESCRIPTIONS: [[&str; 3]; 8] = [
    ["Dimasak setiap pagi, porsi untuk satu orang.", "Resep keluarga; mengandung kacang.", ""],
    ["Good for one. Served with atchara & sawsawan.", "Lutong-bahay, may kasamang kanin.", ""],
    ["ปรุงสดใหม่ทุกวัน เสิร์ฟพร้อมน้ำจิ้มสูตรเฉพาะของร้าน", "มีส่วนผสมของถั่วและนม", ""],
    ["Nấu mới mỗi ngày, ăn kèm rau sống và nước chấm.", "Có thể chứa đậu phộng.", ""],
    ["Dimasak segar setiap hari, sesuai untuk seorang.", "Mengandungi kacang & susu.", ""],
    [
        "Cooked to order. May contain traces of peanuts, dairy & shellfish.",
        "Serves 1. \"Less oil\" on request.",
        "",
    ],
    ["毎朝店内で仕込んでいます。アレルゲン：小麦・卵・乳。", "一人前。お好みで七味をどうぞ。", ""],
    ["每日現做，附小菜一份。", "本產品含花生、牛奶及其製品，過敏者請留意。", ""],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_title_is_missing_in_any_language_and_group_codes_are_distinct() {
        let mut codes = std::collections::BTreeMap::new();
        for cuisine in &CUISINES {
            let titles =
                cuisine.dishes.iter().map(|d| &d.titles).chain([&cuisine.category, &cuisine.section]);
            assert!(titles.flatten().all(|title| !title.is_empty()));
            for group in cuisine.groups {
                assert!(group.titles.iter().all(|title| !title.is_empty()));
                let known = *codes.entry(group.code).or_insert(group.titles[1]);
                assert_eq!(known, group.titles[1], "two groups have the code {}", group.code);
                for choice in group.choices {
                    assert!(choice.titles.iter().all(|title| !title.is_empty()));
                }
            }
        }
    }
}
